"""The default for tables: an ensemble of small networks, each validated on another fold.

Inputs. Numbers are scaled by median and interquartile range and drawn in to (-3, 3) (`manynets.tables.scaling`); beside each stand its
piecewise-linear columns (`manynets.tables.piecewise`), unless there are more columns than rows. Categories are one-hot, and those of a
column with more than 50 also their target's mean (`manynets.tables.means`).

Networks. A learned factor per column (`MLP.input_scale`), then 128-128 units, or 256-256 for more than two classes, SiLU, and dropout of
0.1 sqrt(8,000 / rows), from 0.1 to 0.25. With v_j the variance of column j, H the units of a layer:

    first layer   W ~ N(0, 1 / sum of the plain columns' v_j), 0 for piecewise-linear columns and those of text
    hidden layer  W ~ N(0, 2 / H)           output layer  W ~ N(0, 0.01 / H)
    factors       1, of columns of text 0.25
    biases        0; of the output layer the score that predicts the training rows' mean, or the shares of the classes

Steps. AdamW (betas 0.9 and 0.95, weight decay 0.02, none of biases) on batches of 64 rows, 1,500 steps, with a warm-up over a twentieth of
them and a cosine to 0. Both numbers grow by sqrt(rows / 8,000), at most by 4, where there are more rows than that. The learning rate L, 0.04
for numbers and 0.08 for classes, is divided by sqrt(H) for weights (of the first layer by sqrt(max(sum of v_j, 4))), multiplied by 6 for
the column factors and by 0.1 for biases. Labels of classes are smoothed by 0.1.

Choice. The networks are evaluated 24 times; all return to the weights of the evaluation at which the mean validation loss was lowest. After
5 evaluations without a better one they go back there and cool down early (`EarlyStopping.cool_down`). Classes get one temperature, which
minimises the log loss of the out-of-fold scores (Guo et al. 2017): the output layers are divided by 0.9 of it, as the mean of several
networks is less sure than the one network that it was found for. Where the columns say little about the target, scores are also shrunk
towards those that predict the class frequencies, or the mean of numbers (`manynets.tabular.calibration`). Numbers are clamped to the range
seen in training.

Settings. As many networks again are trained without piecewise-linear columns, with half the dropout (not with the preset "fast"). After a
third of the steps they stop where their loss is more than 1.1 times that of the others, a factor that falls to 1 at the end, and they
count only where it is clearly lower (`manynets.tabular.finish`). These columns make sharp bends easy to learn, but smooth functions of
several columns are learned better without. A table of at most 8,000 rows with columns of text gets as many networks without those columns;
one of fewer than 200 rows as many linear models, and so does one of up to 8,000 rows where the first of them is far better than the first
network (`manynets.tabular.linear`); the preset "best" trains each network in two more settings. The best setting out of fold is kept, and
of the others, in their order, those with which the mean of the out-of-fold predictions becomes better (greedy selection, Caruana et al.
2004, without repetition).

Sources: Holzmueller et al. 2024 (RealMLP), Gorishniy et al. 2022 and 2025 (piecewise-linear embeddings, TabM), Caruana et al. 2004 (ensemble
selection).
"""

from __future__ import annotations

from manynets.tabular.calibration import fit_temperature
from manynets.tabular.changes import CHANGEABLE
from manynets.tabular.finish import TabularFit
from manynets.tabular.recipe import PRESETS, PresetName, encoder_options, tabular_network
from manynets.tabular.training import train_ensemble, train_tabular
from manynets.tasks.prior import prior_scores

__all__ = [
    "CHANGEABLE", "PRESETS", "PresetName", "TabularFit", "encoder_options", "fit_temperature", "prior_scores",
    "tabular_network", "train_ensemble", "train_tabular",
]  # fmt: skip
