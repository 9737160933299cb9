"""The faults that `tools.mutations` plants: a sign, an off-by-one, a dropped term, a swapped axis."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FAULTS", "TESTS", "Fault"]


class Fault(NamedTuple):
    """One fault: in a file of src/manynets, a text that occurs there once becomes another. package: a key of `TESTS`."""

    package: str
    file: str
    old: str
    new: str


TESTS = {
    "optim": ("tests/test_optim.py", "tests/training/test_groups.py"),
    "training": (
        "tests/test_early_stopping.py",
        "tests/training/test_progress.py",
        "tests/training/test_history.py",
        "tests/training/test_cool_down.py",
        "tests/training/test_epochs.py",
        "tests/training/test_together.py",
        "tests/training/test_gradients.py",
        "tests/training/test_embeddings.py",
        "tests/training/test_corners.py",
        "tests/training/test_searches.py",
        "tests/test_train.py",
    ),
    "state": (
        "tests/training/test_state.py",
        "tests/training/test_cool_down.py",
        "tests/training/test_corners.py",
        "tests/training/test_searches.py",
        "tests/reliability/test_resume.py",
    ),
    "core": ("tests/training/test_core.py", "tests/training/test_core_bits.py", "tests/training/test_groups.py"),
    "tables": ("tests/tables",),
    "tasks": ("tests/tasks", "tests/test_metrics.py"),
    "data": ("tests/data",),
    "stream": ("tests/data/test_stream.py", "tests/streaming"),
    "engines": ("tests/engines/test_numpy.py", "tests/training/test_groups.py"),
    "distributed": ("tests/distributed/test_gradient_sum.py", "tests/distributed/test_ranks.py"),
    "plots": ("tests/plots",),
}
"""The tests of each package, the quick ones first."""

_OPTIMIZERS, _UPDATE, _CORE = "optim/optimizers.py", "optim/update.py", "core/core.cpp"
_HISTORY, _STOPPING, _LOOP = "training/history.py", "early_stopping.py", "training/loop.py"
_CLOSED, _STATE, _COLUMNS = "training/steppers/closed_form.py", "training/state.py", "tables/columns.py"

FAULTS = (
    # ---------------------------------------------------------------------------------------------------------------- optim
    Fault("optim", _OPTIMIZERS, "_add(g, velocity, self.momentum)", "_add(g, velocity, self.momentum, -1.0)"),
    Fault("optim", _OPTIMIZERS, "mean.lerp_(g, self.rest1)", "mean.lerp_(g, self.rest2)"),
    Fault("optim", _OPTIMIZERS, "(1 - beta1**t), np.sqrt(1 - beta2**t)", "(1 - beta1**t), np.sqrt(1 - beta2 ** (t + 1))"),
    Fault("optim", _OPTIMIZERS, 'out[:, 2] = 1 - rates * self.values("weight_decay")', "out[:, 2] = 1 - rates"),
    Fault("optim", _OPTIMIZERS, "np.where(self.eps_hat, out[:, 1], 1.0)", "np.where(self.eps_hat, 1.0, out[:, 1])"),
    Fault("optim", _OPTIMIZERS, "(1 - products * mu(t + 1))", "(1 - products * mu(t))"),
    Fault("optim", _OPTIMIZERS, '(1 - self.values("alpha"), like)', '(self.values("alpha"), like)'),
    Fault("optim", _OPTIMIZERS, 'state["momentum"].mul_(self.momentum).addcdiv_', 'state["momentum"].addcdiv_'),
    Fault("optim", _OPTIMIZERS, "square.addcmul_(g, g)\n", "square.copy_(g * g)\n"),
    Fault("optim", _OPTIMIZERS, 'state["mean"].lerp_(g, self.rest2)', 'state["mean"].lerp_(g, self.rest1)'),
    Fault("optim", _OPTIMIZERS, "torch.sign(move, out=g).add_(move, alpha=0.0)", "torch.sign(move, out=g)"),
    Fault("optim", _OPTIMIZERS, "_add(g, w, self.decay)", "_add(g, w, self.decay, -1.0)"),
    Fault("optim", _UPDATE, "if runs and runs[-1][0] == factors:", "if runs:"),
    Fault("optim", _UPDATE, "optimizer.coefficients(rates * factors, step)", "optimizer.coefficients(rates, step)"),
    Fault("optim", _UPDATE, "recipe.optimizer.weight_decay * decay", "recipe.optimizer.weight_decay"),
    Fault("optim", _UPDATE, "now[3 * part : 3 * part + 3]", "now[:3]"),
    Fault("optim", _UPDATE, ".mul_(0.5 * self.l2)", ".mul_(self.l2)"),
    Fault("optim", _UPDATE, "self.l1 * scale)", "self.l2 * scale)"),
    Fault("optim", _UPDATE, ".clamp_(max=1.0)", ".clamp_(min=1.0)"),
    Fault("optim", _UPDATE, "range(part.start, part.stop, columns)", "range(part.start, part.stop - 1, columns)"),
    Fault("optim", _UPDATE, "not (self.has_l1 or self.has_l2 or self.clipped)", "not (self.has_l1 or self.has_l2)"),
    # ------------------------------------------------------------------------------------------------------------- training
    Fault("training", _HISTORY, "left = (self.totals - steps[:, None])", "left = (self.totals - steps[:, None] - 1)"),
    Fault("training", _HISTORY, "step < COOL_BEFORE * self.totals", "step < self.totals"),
    Fault("training", _HISTORY, "np.clip(self.cool_down[k] * best", "np.clip(self.cool_down[k] * step"),
    Fault("training", _HISTORY, "self.rates(np.array([best])", "self.rates(np.array([step])"),
    Fault("training", _HISTORY, "self.patience.exhausted & (self.cool_down == 0)", "self.patience.exhausted"),
    Fault("training", _HISTORY, "[:, self.course] * now", "[:, self.course[::-1]] * now"),
    Fault("training", _HISTORY, "sound = finite[..., 0] & finite[..., 1]", "sound = finite[..., 0]"),
    Fault("training", _HISTORY, "step + sound.argmin(0))", "step + sound.argmin(0) + 1)"),
    Fault("training", _HISTORY, "(entries, -1, *log.shape[1:]), axis=1)", "(-1, entries, *log.shape[1:]), axis=0)"),
    Fault("training", _HISTORY, "        self.patience.take(chosen)\n", ""),
    Fault("training", _STOPPING, "self.best_figure - self.gain", "self.best_figure + self.gain"),
    Fault("training", _STOPPING, "value <= bound, value < bound", "value < bound, value <= bound"),
    Fault("training", _STOPPING, "self.bad >= self.patience", "self.bad > self.patience"),
    Fault("training", _STOPPING, "self.plateau_bad > self.plateau_patience", "self.plateau_bad >= self.plateau_patience"),
    Fault("training", _STOPPING, "self.plateau_patience - self.plateau_bad + 1", "self.plateau_patience - self.plateau_bad + 2"),
    Fault("training", _STOPPING, "(self.lr * self.factor > self.stop_lr)", "(self.lr * self.factor >= self.stop_lr)"),
    Fault("training", _STOPPING, "-columns[prefix + metric]", "columns[prefix + metric]"),
    Fault("training", _STOPPING, "self.factor * self.plateau_factor, self.plateau_least", "self.factor * self.plateau_factor, 0.0"),
    Fault("training", _HISTORY, "np.arange(entries - 1, -1, -1)", "np.arange(entries)"),
    Fault("training", _HISTORY, "run.rates(steps - 1)", "run.rates(steps)"),
    Fault("training", _HISTORY, "(run.sums.steps / entries)", "run.sums.steps"),
    Fault("training", _HISTORY, "(chosen, self.entries - 1,", "(chosen, self.entries,"),
    Fault("training", _HISTORY, "(better | self.keeps_last) & finite &", "(better | self.keeps_last) &"),
    Fault("training", _LOOP, "first_bad, self.step - 1)", "first_bad, self.step)"),
    Fault("training", _LOOP, "(tracks.exhausted[k] and self.step < tracks.totals[k])", "tracks.exhausted[k]"),
    Fault("training", "training/validation.py", "raw * (columns < torch", "raw * (columns <= torch"),
    Fault("optim", "schedules.py", "share = (t - warm) /", "share = (t - warm + 1) /"),
    Fault("optim", "schedules.py", "top = schedule.rise * total - 1 ", "top = schedule.rise * total "),
    Fault("optim", "schedules.py", "epoch // min(schedule.every, MOST_STEPS)", "(epoch + 1) // schedule.every"),
    Fault("training", "steps.py", "rows % batch_size == 1 and", "rows % batch_size == 0 and"),
    Fault("training", "training/events.py", "self.diverged += event.diverged", "self.diverged = event.diverged"),
    Fault("training", "training/progress.py", "+= len(event.numbers) - event.alive", "= len(event.numbers) - event.alive"),
    Fault("training", _CLOSED, "        self.d_weight.mul_(self.scale)\n", ""),
    Fault("training", _CLOSED, "                below.mul_(b.masks[i])\n", "                pass\n"),
    Fault("training", _CLOSED, "float(size - 1)", "float(size)"),
    # ---------------------------------------------------------------------------------------------------------------- state
    Fault("state", _STATE, '_TRACKS = ("alive", "best")', '_TRACKS = ("alive",)'),
    Fault("state", _STATE, '"plateau_best", "plateau_bad")', '"plateau_best")'),
    Fault("state", _STATE, '_COOLING = ("totals", ', "_COOLING = ("),
    Fault("state", _STATE, '"best_statistics": run.best.statistics', '"best_statistics": run.stepper.population.statistics'),
    Fault("state", _STATE, "    run.stepper.alive = run.tracks.alive\n", ""),
    Fault("state", _STATE, 'state, best, int(made["bad"]), factor)', 'state, factor, int(made["bad"]), best)'),
    Fault("state", _STATE, '"validation_rows": member.validation_rows, "weight": member.weight}', '"weight": member.weight}'),
    Fault("state", _STATE, '        data["validation weights"] = digest(held_out.weight)\n', ""),
    Fault("state", "training/checkpoint.py", "older[self.checkpoint.keep - 1 :]", "older[self.checkpoint.keep :]"),
    # ----------------------------------------------------------------------------------------------------------------- core
    Fault("core", _CORE, "job.total ? 1 : 1 / static_cast<double>(outputs)", "1"),
    Fault("core", _CORE, "(rate * g[i] + ahead * u[i])", "(rate * g[i] - ahead * u[i])"),
    Fault("core", _CORE, "(var[j] / T(unbiased)", "(var[j] / T(divisor)"),
    Fault("core", _CORE, "squares = sum_of<double>(job.parameters,", "squares = sum_of<double>(matrices,"),
    Fault("core", _CORE, "scale * sign(error) + tilt", "scale * sign(error) - tilt"),
    Fault("core", _CORE, "copies = copies > 2 ? copies : 2;", "copies = copies > 1 ? copies : 1;"),
    Fault("core", _CORE, "job.which[k] * job.weight_stride", "k * job.weight_stride"),
    Fault("core", _CORE, "* (1 - smoothing) + smoothing * T(0.5)", "* (1 - smoothing) + smoothing"),
    Fault("core", _CORE, "bytes[j] >= level", "bytes[j] > level"),
    Fault("core", _CORE, "end = p == job.parts - 1 ? n : job.part_ends[p];", "end = n;"),
    Fault("core", _CORE, "l1 * size + 0.5 * l2 * sum_of<double>", "l1 * size + l2 * sum_of<double>"),
    # --------------------------------------------------------------------------------------------------------------- tables
    Fault("tables", _COLUMNS, "np.where(missing, self.fill, values)", "np.where(missing, 0.0, values)"),
    Fault("tables", _COLUMNS, "out[:, 1] = missing", "out[:, 1] = ~missing"),
    Fault("tables", _COLUMNS, "max(low - more, -most)", "max(low, -most)"),
    Fault("tables", _COLUMNS, "len(self.levels) + bool(self.rare) if", "len(self.levels) if"),
    Fault("tables", _COLUMNS, "2.0 * math.pi * values / CYCLES[part]", "math.pi * values / CYCLES[part]"),
    Fault("tables", _COLUMNS, "low / 2 + high / 2 if low < high else low", "low"),
    Fault("tables", _COLUMNS, "if counts[label] >= min_count]", "if counts[label] > min_count]"),
    Fault("tables", _COLUMNS, "(-counts[label], label)", "(counts[label], label)"),
    Fault("tables", "tables/scaling.py", "middle, three - quarter", "middle, three - middle"),
    Fault("tables", "tables/scaling.py", "(np.arange(count) + 0.5) / count", "(np.arange(count) + 1.0) / (count + 1)"),
    Fault("tables", "tables/scaling.py", "np.hypot(1.0, scaled / CLIP)", "np.hypot(1.0, scaled)"),
    Fault("tables", "tables/encoder.py", "block.start + 1 + column.gaps", "block.start + 1"),
    Fault("tables", "tables/columns.py", "rows < 200 else", "rows <= 200 else"),
    Fault("tables", "tables/piecewise.py", "- self.centers) * SIZE", "+ self.centers) * SIZE"),
    Fault("tables", "tables/association.py", "sums.sum(axis=1, keepdims=True) - sums", "sums.sum(axis=1, keepdims=True)"),
    # ---------------------------------------------------------------------------------------------------------------- tasks
    Fault("tasks", "tasks/classification.py", "[_sigmoid(-logits), _sigmoid(logits)]", "[_sigmoid(logits), _sigmoid(-logits)]"),
    Fault("tasks", "tasks/classification.py", "raised.sum(axis=-1, keepdims=True)", "raised.sum(axis=0, keepdims=True)"),
    Fault("tasks", "tasks/regression.py", "* self.scale + self.center", "* self.scale - self.center"),
    Fault("tasks", "tasks/regression.py", "np.asarray(self.scale) ** power", "np.asarray(self.scale)"),
    Fault("tasks", "tasks/regression.py", "abs(_skewness(np.log(y))) < skew / 2", "abs(_skewness(np.log(y))) < skew"),
    Fault("tasks", "tasks/losses.py", "level = 1 / self.outputs if", "level = 1.0 if"),
    Fault("tasks", "tasks/losses.py", "r2 = 1 - hits / spread", "r2 = hits / spread"),
    Fault("tasks", "tasks/objectives.py", "clamp_(-delta, delta)", "clamp_(-delta, 1.0)"),
    Fault("tasks", "tasks/objectives.py", "out.add_(1 - 2 * levels(z))", "out.add_(2 * levels(z) - 1)"),
    Fault("tasks", "tasks/objectives.py", "            out.div_(self.outputs)\n", "            pass\n"),
    Fault("tasks", "metrics.py", "* classes + predicted.astype(np.int64)", "+ classes * predicted.astype(np.int64)"),
    Fault(
        "tasks",
        "metrics.py",
        "correct = np.bincount(truth[truth == predicted], minlength=len(classes))",
        "correct = np.bincount(predicted, minlength=len(classes))",
    ),
    Fault("tasks", "metrics.py", "found.mean(axis=-1) if truth.ndim == 2", "found.sum(axis=-1) if truth.ndim == 2"),
    # ----------------------------------------------------------------------------------------------------------------- data
    Fault("data", "data/split.py", "max(round(rows * fraction), 1)", "max(int(rows * fraction), 1)"),
    Fault("data", "data/split.py", "take[code] < counts[code] - 1", "take[code] < counts[code]"),
    Fault("data", "data/split.py", "np.arange(total) % folds", "np.arange(total) * folds // total"),
    Fault(
        "data", "data/batches.py", "self.most if step == self.order_steps - 1 else", "self.most if step == self.order_steps else"
    ),
    # --------------------------------------------------------------------------------------------------------------- stream
    Fault("stream", "data/stream/windows.py", 'side="right"', 'side="left"'),
    Fault("stream", "data/stream/windows.py", "_cut(found, max(0, position - before),", "_cut(found, 0,"),
    Fault("stream", "data/stream/table.py", "(words, self.most - 1)[self.most - 1]", "(words, self.most)[self.most]"),
    Fault("stream", "data/stream/rows.py", "layout.steps - self._first_step if last else layout", "layout"),
    Fault("stream", "streaming/opening.py", "+ 1 > 2 * max(", "+ 1 > max("),
    Fault("stream", "streaming/opening.py", "deviation / task.scale[0]) ** 2", "deviation / task.scale[0])"),
    # -------------------------------------------------------------------------------------------------------------- engines
    Fault("engines", "engines/loop.py", "at = first + int(np.argmin(sound))", "at = int(np.argmin(sound))"),
    Fault("engines", "engines/optimizers.py", '(1 - c["shrink"]) * lr * decay', '(1 - c["shrink"]) * lr'),
    # ---------------------------------------------------------------------------------------------------------- distributed
    Fault("distributed", "distributed/gradient_sum.py", "for block in blocks[2:]:", "for block in blocks[1:]:"),
    Fault("distributed", "distributed/ranks.py", "if length > LETTER - 8:", "if length > LETTER:"),
    Fault("distributed", "training/team.py", "    total[..., 2] = log[..., 2]  # the penalty is not a sum over rows\n", ""),
    Fault("distributed", "training/team.py", "    ranks.spread(stepper.population.statistics)\n", ""),
    # ---------------------------------------------------------------------------------------------------------------- plots
    Fault("plots", "plots/scores.py", '"true": 1, "predicted": 0,', '"true": 0, "predicted": 1,'),
    Fault("plots", "plots/scores.py", "ax.text(j, i, text", "ax.text(i, j, text"),
    Fault("plots", "plots/scores.py", "1 - squares / variance", "squares / variance"),
    Fault("plots", "plots/scores.py", "(true[1:] + true[:-1]) / 2", "true[1:]"),
    Fault("plots", "plots/curves.py", "np.nanmedian(whole[:, started], axis=0)", "np.nanmean(whole[:, started], axis=0)"),
    Fault("plots", "plots/curves.py", '{"tr": "-", "va": "--", "te": ":"}', '{"tr": "-", "va": ":", "te": "--"}'),
    Fault("plots", "plots/sweeps.py", "scores if higher_is_better else -scores", "-scores if higher_is_better else scores"),
    Fault("plots", "plots/sweeps.py", "y[keep & (x == value)].mean()", "y[x == value].mean()"),
    Fault("plots", "plots/plane.py", "rows[:, 0],\n            rows[:, 1],\n", "rows[:, 1],\n            rows[:, 0],\n"),
    Fault("plots", "plots/images.py", "tiles = tiles.mean(axis=3)", "tiles = tiles.max(axis=3)"),
    Fault("plots", "plots/diagram.py", "(share[:, None] >= 0, blue, orange)", "(share[:, None] < 0, blue, orange)"),
)
