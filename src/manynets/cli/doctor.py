"""`manynets doctor`: whether this installation is in order."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any

from manynets.cli.arguments import option
from manynets.cli.report import console_for, print_table


def doctor(json_line: Annotated[bool, option("--json", help="Print one JSON object instead of the report.")] = False) -> None:
    """Report versions, cores, compiled core, GPU, extras and folders, and what is wrong.

    \b
    manynets doctor
    manynets doctor --json
    """
    from manynets.cli.checkup import examine, troubles_of

    found = examine()
    troubles = troubles_of(found)
    if json_line:
        print(json.dumps(found | {"problems": [dataclasses.asdict(one) for one in troubles]}, allow_nan=False))
        return
    _print(found, troubles)


def _print(found: dict[str, Any], troubles: list[Any]) -> None:
    console = console_for()
    versions = {name: version or "not installed" for name, version in found["versions"].items()}
    print_table(console, ["package", "version"], list(versions.items()))
    print_table(console, ["processor and GPU", ""], [("cores", _cores(found["processor"])), *_engines(found)])
    extras = [
        (
            name,
            ", ".join(f"{package} {version or 'missing'}" for package, version in packages.items()),
            "" if all(packages.values()) else f"pip install 'manynets[{name}]'",
        )
        for name, packages in found["extras"].items()
    ]
    print_table(console, ["extra", "packages", "to install"], extras)
    folders = [(one["purpose"], one["path"], _state(one)) for one in found["folders"]]
    print_table(console, ["folder", "path", "state"], folders)
    for one in troubles:
        console.print(f"problem: {one.what}\n         {one.remedy}")
    if not troubles:
        console.print("No problems found.")


def _cores(processor: dict[str, Any]) -> str:
    text = f"{processor['usable']} of {processor['cores']} usable"
    if processor["affinity"] is not None and processor["affinity"] < processor["cores"]:
        text += f"; {processor['affinity']} by affinity"
    if processor["quota"] is not None:
        text += f"; {processor['quota']} by the quota of the container"
    threads = processor["torch_threads"]
    text += "" if threads is None else f"; torch uses {threads} thread{'s' if threads > 1 else ''}"
    return text + (f" (OMP_NUM_THREADS={processor['omp_num_threads']})" if processor["omp_num_threads"] else "")


def _engines(found: dict[str, Any]) -> list[tuple[str, str]]:
    gpu = found["gpu"]
    devices = ", ".join(f"{one['name']}, {one['gigabytes']} GB" for one in gpu["devices"])
    built = f"torch is built for CUDA {gpu['cuda']}" if gpu["cuda"] else "torch is built without CUDA"
    return [("compiled core", found["core"]["description"]), ("GPU", f"{devices or 'none'}; {built}")]


def _state(folder: dict[str, Any]) -> str:
    if not folder["there"]:
        return "not there"
    return f"{'writable' if folder['writable'] else 'read-only'}, {folder['free'] / 2**30:,.0f} GB free"
