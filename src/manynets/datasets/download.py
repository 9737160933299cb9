"""Download the files of a data set once, with checksums, into the user's cache, by pooch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from manynets.errors import DataError, optional_module


@dataclass(frozen=True, kw_only=True)
class Archive:
    """Where the files of a data set are, and their checksums."""

    mirrors: tuple[str, ...]
    """Addresses of folders, each ending in a slash; tried in this order."""
    sha256: Mapping[str, str]
    """The checksum of each file, by its name."""
    megabytes: int


ARCHIVES: Mapping[str, Archive] = {
    # The md5 of these files, as torchvision lists them: f68b3c2d..., d53e105e..., 9fb629c4..., ec29112d...
    "mnist": Archive(
        mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        sha256={
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
        megabytes=12,
    ),
    # Checksums as in TensorFlow Datasets, url_checksums/fashion_mnist.txt.
    "fashion-mnist": Archive(
        mirrors=(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        sha256={
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
        megabytes=31,
    ),
}


def cache_folder(name: str) -> Path | None:
    """Return this data set's folder in the user's cache, whether it exists or not; None without pooch, which determines it."""
    try:
        import pooch
    except ImportError:
        return None
    return Path(pooch.os_cache("manynets")) / name


def fetch(archive: Archive, name: str, folder: Path) -> dict[str, Path]:
    """Return the path of each file of the archive in `folder`, by file name; download files that are missing or damaged.

    A file gets its name only when it is complete and its checksum is right. Raises MissingExtraError without pooch, and
    DataError, which names the file and what to do, if no mirror has it.
    """
    purpose = f"downloading {name} (no folder named by data_dir or MANYNETS_DATA has it)"
    pooch = optional_module("pooch", extra="data", purpose=purpose)
    paths = {}
    with _quiet_log():
        for file, digest in archive.sha256.items():
            problems = []
            for mirror in archive.mirrors:
                try:
                    with closing(_Bar(f"{name}/{file}")) as bar:
                        loader = pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16, timeout=30)
                        pooch.retrieve(mirror + file, f"sha256:{digest}", fname=file, path=folder, downloader=loader)
                    paths[file] = folder / file
                    break
                except (OSError, ValueError) as error:  # requests' errors are OSErrors, a wrong checksum a ValueError
                    problems.append(f"{urlsplit(mirror).netloc}: {_reason(error)}")
            else:
                raise DataError(
                    f"{folder / file} is missing and cannot be downloaded ({'; '.join(problems)}). "
                    f"Check the connection and try again; or get {archive.mirrors[0]}{file} (sha256 {digest}) by other "
                    f"means, put it with the other files of {name} into a folder {name}/, and give the folder above as "
                    "data_dir or MANYNETS_DATA"
                )
    return paths


def _reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return f"HTTP status {status}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "what arrived is not the expected file (wrong sha256)"


@contextmanager
def _quiet_log() -> Iterator[None]:
    """Keep pooch from writing to the terminal; the progress bar or the error says it."""
    import pooch

    log = pooch.get_logger()
    before = log.level
    log.setLevel("ERROR")
    try:
        yield
    finally:
        log.setLevel(before)


class _Bar:
    """A progress bar on stderr, silent unless that is a terminal, with what pooch expects: total, update, reset and close."""

    def __init__(self, label: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self.progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self.task = self.progress.add_task(label, total=None)
        self.total = 0
        self.progress.start()

    def update(self, count: int) -> None:
        self.progress.update(self.task, total=self.total or None, advance=count)

    def reset(self) -> None:
        self.progress.update(self.task, completed=0)

    def close(self) -> None:
        self.progress.stop()
