"""Reproductions of the experiments of five tutorials. Each returns published and measured results, and pictures.

    manynets study T1-xor            one study, from nothing to its pictures
    manynets study --all --quick     all of them, with few rows, steps and seeds

A study is a short file that follows its tutorial. `STUDIES` maps ids to studies; a study is imported when it is run.
"""

from manynets.studies.study import Figure, Study, StudyResult

__all__ = ["PUBLISHED", "STUDIES", "TUTORIALS", "Figure", "Study", "StudyResult"]

_ALL = (
    Study("T1-prod", "y = x1 x2 on a square: 2-6-1, the best of 64 seeds", "t1_toys"),
    Study("T1-xor", "whether two signs differ: 2-6-1 with a sigmoid, the best of 64 seeds", "t1_toys"),
    Study("T1-quadrants", "which quadrant: 2-6-4 with a softmax, the best of 64 seeds", "t1_toys"),
    Study("T1-draws", "the three again on ten draws of points and networks: mean and spread", "t1_draws"),
    Study("T1-shares", "how initialiser, schedule and width change the share of seeds that get there", "t1_shares"),
    Study("T2-tensors", "four blobs, 2-2-4: tensors and a loss by hand", "t2_levels"),
    Study("T2-functional", "the same with F.cross_entropy on raw scores", "t2_levels"),
    Study("T2-parameter", "the same as a module with nn.Parameter", "t2_levels"),
    Study("T2-linear", "the same with nn.Linear and torch.optim", "t2_levels"),
    Study("T2-sequential", "the same as nn.Sequential", "t2_levels"),
    Study("T2-gpu", "the same on a GPU, timed", "t2_levels"),
    Study("T2-moons", "moons with noise: 2-2-1, SGD", "t2_moons"),
    Study("T2-deeper", "moons, a deeper network: 2-16-16-1, SGD", "t2_moons"),
    Study("T2-momentum", "moons, 2-16-16-1 with momentum", "t2_moons"),
    Study("T2-nesterov", "moons, 2-16-16-1 with Nesterov's momentum", "t2_moons"),
    Study("T2-rmsprop", "moons, 2-16-16-1 with RMSprop", "t2_moons"),
    Study("T2-adam", "moons, 2-16-16-1 with Adam", "t2_moons"),
    Study("T2-init", "moons, 2-16-16-1 from Xavier's initial weights (nn.init)", "t2_moons"),
    Study("T3-autograd", "z = 2 (x + 2)^2 at x = 1: dz/dx by autograd", "t3_autograd"),
    Study("T3-perceptron", "a perceptron with a step: the tutorial's bug, and its fix", "t3_perceptron"),
    Study("T3-feedforward", "2-10-1 on 40 points of blobs: the test loss before and after training", "t3_feedforward"),
    Study("T4-mnist", "784-512-512-10 with dropout, the best checkpoint by validation loss", "t4_mnist"),
    Study("T5-logistic", "logistic regression on MNIST", "t5_models"),
    Study("T5-A", "784-100-10, sigmoid", "t5_models"),
    Study("T5-B", "784-100-10, tanh", "t5_models"),
    Study("T5-C", "784-100-10, ReLU", "t5_models"),
    Study("T5-D", "two hidden layers of 100, ReLU", "t5_models"),
    Study("T5-E", "three hidden layers of 100, ReLU", "t5_models"),
    Study("T5-E-gpu", "T5-E on a GPU", "t5_models"),
)

STUDIES: dict[str, Study] = {one.id: one for one in _ALL}

TUTORIALS = {
    "T1": "small networks on points of a square: a product, xor and quadrants",
    "T2": "PyTorch step by step: from tensors to nn.Sequential on four blobs, and optimizers on two moons",
    "T3": "autograd, the perceptron, and a first feed-forward network on blobs",
    "T4": "a network with dropout on MNIST, and its best checkpoint",
    "T5": "MNIST from logistic regression to three hidden layers",
}
"""What each of the five tutorials is about, by the beginning of the ids of its studies."""

PUBLISHED = (
    "published: the result that the tutorial prints; where it prints none, that of the same network in plain torch (T2), or before "
    "training (T3-feedforward)"
)
