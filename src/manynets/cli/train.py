"""`manynets train`: its options. What it does is in `manynets.cli.fit`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

__all__ = ["train"]

_NETWORK, _TRAINING, _TABLES, _NAMED, _OUTPUT = "Network", "Training", "Tables", "Data sets by name", "Output"
_LOSS, _MORE, _OPTIMIZER, _SCHEDULE = "Loss and penalties", "More on training", "Optimizer in detail", "Schedule in detail"


def _option(panel: str, *names: str, **more: Any) -> Any:
    def with_help(text: str) -> Any:
        if "metavar" not in more:
            more["metavar"] = " "  # a flag: no type to show
        return typer.Option(*names, help=text.replace("[", "\\["), rich_help_panel=panel, show_default=False, **more)

    return with_help


def train(
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            show_default=False,
            help="A data set by name (see: manynets datasets), a table with --target, or a .npz file with the arrays X "
            "and y. A table is CSV, TSV, Excel, OpenDocument, JSON lines, Parquet or Arrow (text also as .gz), a folder of Parquet "
            "files or a pattern such as '2024-*.parquet', or - for standard input.",
        ),
    ] = None,
    # ------------------------------------------------------------------------------------------------------------ network
    hidden: Annotated[
        str | None,
        _option(_NETWORK, "--hidden", metavar="N,N,...")(
            "Units of each hidden layer, or 'none' for a linear model. [512,512; of several networks 256,256]"
        ),
    ] = None,
    activation: Annotated[
        str | None,
        _option(_NETWORK, "--activation", metavar="NAME")(
            "relu, leaky_relu, elu, selu, gelu, silu, mish, tanh, sigmoid, softplus or identity. [relu]"
        ),
    ] = None,
    dropout: Annotated[
        str | None,
        _option(_NETWORK, "--dropout", metavar="P")("Share of hidden units dropped in a step: one number, or one per layer. [0.2]"),
    ] = None,
    batch_norm: Annotated[bool | None, _option(_NETWORK, "--batch-norm")("Normalise each hidden unit over the batch.")] = None,
    input_dropout: Annotated[
        float | None, _option(_NETWORK, "--input-dropout", metavar="P")("Share of input columns dropped in a step. [0]")
    ] = None,
    init: Annotated[
        str | None,
        _option(_NETWORK, "--init", metavar="NAME")(
            "How weights start: torch, xavier_uniform, xavier_normal, kaiming_uniform, kaiming_normal, lecun_normal, orthogonal, "
            "normal_fan_in or randn_sqrt_fan_in. [torch]"
        ),
    ] = None,
    bias: Annotated[bool | None, _option(_NETWORK, "--bias/--no-bias")("Whether layers have biases. [bias]")] = None,
    n_networks: Annotated[
        int | None,
        _option(_NETWORK, "--n-networks", metavar="N")(
            "Networks that are trained together and predict their mean. [8 for a table of 16 to 3,000 rows to train on, else 1]"
        ),
    ] = None,
    # ----------------------------------------------------------------------------------------------------------- training
    epochs: Annotated[
        int | None,
        _option(_TRAINING, "--epochs", metavar="N")("Passes over the rows. [20; more on small data, for 1,000 steps, at most 200]"),
    ] = None,
    batch_size: Annotated[
        int | None, _option(_TRAINING, "--batch-size", metavar="N")("Rows of a step. [128; fewer below 4,096 rows, down to 16]")
    ] = None,
    optimizer: Annotated[
        str | None, _option(_TRAINING, "--optimizer", metavar="NAME")("adamw, adam, nadam, sgd, rmsprop or adagrad. [adamw]")
    ] = None,
    lr: Annotated[
        float | None,
        _option(_TRAINING, "--lr", metavar="RATE")(
            "Learning rate; with one-cycle its peak. [0.003 sqrt(batch size / 128); 0.001 for adamw with "
            "--schedule and for adam, 0.002 for nadam, 0.01 for the others]"
        ),
    ] = None,
    schedule: Annotated[
        str | None,
        _option(_TRAINING, "--schedule", metavar="NAME")(
            "How the learning rate changes: one-cycle, cosine, constant, warmup, step, exponential, plateau or "
            "inverse-scaling. [one-cycle]"
        ),
    ] = None,
    validation: Annotated[
        float | None,
        _option(_TRAINING, "--validation", metavar="SHARE")(
            "Share of the training rows kept apart to choose the best epoch; 0 for none. [0.1; of several networks each keeps "
            "another part of the rows; the 2-D sets bring their own]"
        ),
    ] = None,
    patience: Annotated[
        int | None,
        _option(_TRAINING, "--patience", metavar="N")("Stop early, after N evaluations without a new best. [no early stopping]"),
    ] = None,
    seed: Annotated[int, _option(_TRAINING, "--seed", metavar="N")("Of weights, order of rows, dropout and splits. [0]")] = 0,
    device: Annotated[
        str | None, _option(_TRAINING, "--device", metavar="NAME")("auto, cpu, cuda or cuda:N. [auto: CUDA where there is one]")
    ] = None,
    # -------------------------------------------------------------------------------------------------------------- output
    out: Annotated[
        str | None,
        _option(_OUTPUT, "--out", metavar="FOLDER")("The run folder to write. [runs/NAME-1, or the next number that is free]"),
    ] = None,
    overwrite: Annotated[bool, _option(_OUTPUT, "--overwrite")("Replace the run folder if it exists.")] = False,
    checkpoint_every: Annotated[
        str | None,
        _option(_OUTPUT, "--checkpoint-every", metavar="N")(
            "Write a checkpoint every N epochs, or '500 steps', '30 s', '10 min'. [at a stop and at the end]"
        ),
    ] = None,
    resume: Annotated[
        str | None,
        _option(_OUTPUT, "--resume", metavar="RUN")("Go on with the unfinished run RUN, in place of DATA and all its options."),
    ] = None,
    json_line: Annotated[
        bool, _option(_OUTPUT, "--json")("Print one JSON object with the results on stdout, and all else on stderr.")
    ] = False,
    quiet: Annotated[bool, _option(_OUTPUT, "--quiet", "-q")("Print nothing but errors (and the JSON line).")] = False,
    # -------------------------------------------------------------------------------------------------------------- tables
    target: Annotated[
        list[str] | None, _option(_TABLES, "--target", metavar="COLUMN")("The column to predict; several with commas or repeated.")
    ] = None,
    task: Annotated[
        str | None,
        _option(_TABLES, "--task", metavar="NAME")("regression, binary, multiclass or multilabel. [found from the target]"),
    ] = None,
    test: Annotated[str | None, _option(_TABLES, "--test", metavar="FILE")("A table of the same columns to test on.")] = None,
    test_fraction: Annotated[
        float | None,
        _option(_TABLES, "--test-fraction", metavar="SHARE")(
            "Share of the rows kept for the test, of each class; 0 for none. [0.2]"
        ),
    ] = None,
    drop: Annotated[list[str] | None, _option(_TABLES, "--drop", metavar="COLUMN")("Leave this column out.")] = None,
    categorical: Annotated[
        list[str] | None, _option(_TABLES, "--categorical", metavar="COLUMN")("Take this column as categories.")
    ] = None,
    numeric: Annotated[list[str] | None, _option(_TABLES, "--numeric", metavar="COLUMN")("Take this column as numbers.")] = None,
    weight: Annotated[str | None, _option(_TABLES, "--weight", metavar="COLUMN")("How much each row counts.")] = None,
    group: Annotated[
        str | None, _option(_TABLES, "--group", metavar="COLUMN")("Rows with the same value stay together in each split.")
    ] = None,
    time_column: Annotated[
        str | None, _option(_TABLES, "--time-column", metavar="COLUMN")("Test and validate on the latest rows by this column.")
    ] = None,
    stratify: Annotated[
        str | None, _option(_TABLES, "--stratify", metavar="COLUMN")("Split so that each part has the same share of its values.")
    ] = None,
    target_transform: Annotated[
        str | None,
        _option(_TABLES, "--target-transform", metavar="NAME")(
            "log: train on the logarithm of the target; auto: if its tail is heavy."
        ),
    ] = None,
    drop_missing_target: Annotated[
        bool, _option(_TABLES, "--drop-missing-target")("Leave out rows without a target instead of refusing them.")
    ] = False,
    scaling: Annotated[
        str | None, _option(_TABLES, "--scaling", metavar="NAME")("Of numeric columns: standard, robust or quantile. [standard]")
    ] = None,
    max_levels: Annotated[
        int | None, _option(_TABLES, "--max-levels", metavar="N")("Categories of a column with an input of their own. [64]")
    ] = None,
    delimiter: Annotated[
        str | None, _option(_TABLES, "--delimiter", metavar="CHAR")("Between the cells of a CSV file. [found from the file]")
    ] = None,
    encoding: Annotated[
        str | None, _option(_TABLES, "--encoding", metavar="NAME")("Of a CSV file's text, such as latin-1. [found from the file]")
    ] = None,
    no_header: Annotated[
        bool, _option(_TABLES, "--no-header")("The first line of a CSV file or sheet is a row; the columns are x0, x1, ...")
    ] = False,
    # --------------------------------------------------------------------------------------------------------------- named
    data_dir: Annotated[
        str | None,
        _option(_NAMED, "--data-dir", metavar="FOLDER")("Where mnist/ and fashion-mnist/ are. [MANYNETS_DATA, else downloaded]"),
    ] = None,
    points: Annotated[int | None, _option(_NAMED, "--points", metavar="N")("Training points of a 2-D set. [2,500]")] = None,
    noise: Annotated[
        float | None, _option(_NAMED, "--noise", metavar="SIGMA")("Standard deviation of the noise on a 2-D set. [0]")
    ] = None,
    # ---------------------------------------------------------------------------------------------------------------- loss
    loss: Annotated[
        str | None,
        _option(_LOSS, "--loss", metavar="NAME")(
            "For classes: cross_entropy. For numbers: squared_error, half_squared_error, absolute_error, huber, poisson or "
            "quantile. [cross_entropy, squared_error]"
        ),
    ] = None,
    class_weight: Annotated[
        str | None, _option(_LOSS, "--class-weight", metavar="balanced")("Let rare classes count as much as frequent ones.")
    ] = None,
    label_smoothing: Annotated[
        float | None, _option(_LOSS, "--label-smoothing", metavar="P")("Share of a label that is spread over all classes. [0]")
    ] = None,
    l1: Annotated[float | None, _option(_LOSS, "--l1", metavar="C")("Add C * sum |w| over the weights to the loss. [0]")] = None,
    l2: Annotated[
        float | None, _option(_LOSS, "--l2", metavar="C")("Add C / 2 * sum w^2 over the weights to the loss. [0]")
    ] = None,
    quantile: Annotated[
        float | None, _option(_LOSS, "--quantile", metavar="Q")("Which quantile --loss quantile predicts. [0.5]")
    ] = None,
    delta: Annotated[
        float | None,
        _option(_LOSS, "--delta", metavar="D")("Where --loss huber turns from squared to absolute, in standard deviations. [1]"),
    ] = None,
    # ---------------------------------------------------------------------------------------------------------------- more
    iterations: Annotated[
        int | None, _option(_MORE, "--iterations", metavar="N")("Train for N steps, in place of --epochs.")
    ] = None,
    evaluate_every: Annotated[
        int | None, _option(_MORE, "--evaluate-every", metavar="N")("Steps between two rows of the history. [once an epoch]")
    ] = None,
    keep: Annotated[
        str | None, _option(_MORE, "--keep", metavar="WHICH")("Weights to keep: best (on validation) or last. [best]")
    ] = None,
    watch: Annotated[
        str | None,
        _option(_MORE, "--watch", metavar="WHAT")("What 'best' means: loss, metric (accuracy, R2), or objective. [loss]"),
    ] = None,
    min_delta: Annotated[
        float | None, _option(_MORE, "--min-delta", metavar="G")("A new best must be better by more than G, for --patience. [0]")
    ] = None,
    inclusive: Annotated[
        bool | None, _option(_MORE, "--inclusive")("A gain of exactly --min-delta is enough, for --patience.")
    ] = None,
    stop_lr_factor: Annotated[
        float | None,
        _option(_MORE, "--stop-lr-factor", metavar="F")("When patience ends, multiply the rate by F instead of stopping,"),
    ] = None,
    stop_min_lr: Annotated[
        float | None, _option(_MORE, "--stop-min-lr", metavar="RATE")("as long as it is above this. [0]")
    ] = None,
    clip_norm: Annotated[
        float | None, _option(_MORE, "--clip-norm", metavar="L")("Shorten gradients that are longer than L. [never]")
    ] = None,
    shuffle: Annotated[
        bool | None, _option(_MORE, "--shuffle/--no-shuffle")("Whether rows come in a new order each epoch. [shuffle]")
    ] = None,
    dtype: Annotated[str | None, _option(_MORE, "--dtype", metavar="NAME")("float32 or float64. [float32]")] = None,
    precision: Annotated[
        str | None, _option(_MORE, "--precision", metavar="NAME")("Of matrix products on CUDA: full, tf32 or bf16. [full]")
    ] = None,
    engine: Annotated[
        str | None,
        _option(_MORE, "--engine", metavar="NAME")("Library that trains: torch, numpy, jax or keras; same results. [torch]"),
    ] = None,
    gradient: Annotated[
        str | None, _option(_MORE, "--gradient", metavar="NAME")("auto, compiled, closed_form or autograd; same results. [auto]")
    ] = None,
    # ----------------------------------------------------------------------------------------------------------- optimizer
    weight_decay: Annotated[
        float | None,
        _option(_OPTIMIZER, "--weight-decay", metavar="C")("Pull of weights towards 0, for all. [0.1 for adamw, else 0]"),
    ] = None,
    momentum: Annotated[float | None, _option(_OPTIMIZER, "--momentum", metavar="M")("For sgd and rmsprop. [0]")] = None,
    nesterov: Annotated[bool | None, _option(_OPTIMIZER, "--nesterov")("Nesterov's momentum, for sgd.")] = None,
    lr_in_velocity: Annotated[
        bool | None,
        _option(_OPTIMIZER, "--lr-in-velocity", hidden=True)("The rate enters the velocity, for sgd, as in scikit-learn."),
    ] = None,
    betas: Annotated[
        str | None, _option(_OPTIMIZER, "--betas", metavar="B,B")("Memory of adam, adamw and nadam. [0.9,0.999]")
    ] = None,
    alpha: Annotated[float | None, _option(_OPTIMIZER, "--alpha", metavar="A")("Memory of rmsprop. [0.99]")] = None,
    eps: Annotated[
        float | None, _option(_OPTIMIZER, "--eps", metavar="E")("Against division by 0, for all but sgd. [1e-8; adagrad 1e-10]")
    ] = None,
    eps_hat: Annotated[
        bool | None,
        _option(_OPTIMIZER, "--eps-hat", hidden=True)("Add --eps before the bias is corrected, for adam, as in scikit-learn."),
    ] = None,
    # ------------------------------------------------------------------------------------------------------------ schedule
    warmup: Annotated[
        float | None, _option(_SCHEDULE, "--warmup", metavar="SHARE")("cosine: share of the steps that warms up. [0]")
    ] = None,
    lr_final: Annotated[
        float | None, _option(_SCHEDULE, "--lr-final", metavar="SHARE")("cosine: the last rate, as a share of --lr. [0]")
    ] = None,
    lr_rise: Annotated[
        float | None, _option(_SCHEDULE, "--lr-rise", metavar="SHARE")("one-cycle: share of the steps before the peak. [0.3]")
    ] = None,
    lr_start_factor: Annotated[
        float | None, _option(_SCHEDULE, "--lr-start-factor", metavar="F")("one-cycle: the first rate is --lr / F. [25]")
    ] = None,
    lr_final_factor: Annotated[
        float | None, _option(_SCHEDULE, "--lr-final-factor", metavar="F")("one-cycle: the last rate is the first / F. [10000]")
    ] = None,
    warmup_steps: Annotated[
        int | None, _option(_SCHEDULE, "--warmup-steps", metavar="N")("warmup: steps until --lr is reached. [1000]")
    ] = None,
    lr_every: Annotated[int | None, _option(_SCHEDULE, "--lr-every", metavar="N")("step: epochs between two cuts. [10]")] = None,
    lr_gamma: Annotated[
        float | None,
        _option(_SCHEDULE, "--lr-gamma", metavar="F")("step, exponential: factor of a cut. [0.1 for step, 0.95 for exponential]"),
    ] = None,
    lr_power: Annotated[
        float | None, _option(_SCHEDULE, "--lr-power", metavar="P")("inverse-scaling: --lr / (rows seen)^P. [0.5]")
    ] = None,
    lr_factor: Annotated[float | None, _option(_SCHEDULE, "--lr-factor", metavar="F")("plateau: factor of a cut. [0.1]")] = None,
    lr_patience: Annotated[
        int | None, _option(_SCHEDULE, "--lr-patience", metavar="N")("plateau: evaluations without gain before a cut. [10]")
    ] = None,
    lr_min_delta: Annotated[
        float | None, _option(_SCHEDULE, "--lr-min-delta", metavar="G")("plateau: what counts as a gain. [0.0001]")
    ] = None,
    lr_min: Annotated[float | None, _option(_SCHEDULE, "--lr-min", metavar="RATE")("plateau: the smallest rate. [0]")] = None,
) -> None:
    """Train a network and write a run folder: model, history, metrics and pictures.

    \b
    manynets train digits
    manynets train houses.csv --target price
    manynets train mnist --hidden 256 --epochs 10 --json

    Defaults stand in brackets.
    """
    options = dict(locals())
    from manynets.cli.fit import fit

    fit(options)
