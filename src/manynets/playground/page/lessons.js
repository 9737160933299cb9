// @ts-check
/** Eight short stories, each with networks to try, a question and its answer. */

const SGD = (/** @type {number} */ lr) => ({ kind: "SGD", lr });
const ADAM = (/** @type {number} */ lr) => ({ kind: "Adam", lr });
/**
 * Return a setup. @param {any} data @param {number[]} hidden @param {string} activation @param {any} recipe @param {any} [more]
 */
const setup = (data, hidden, activation, recipe, more = {}) => ({
  data: { kind: "toy", ...data }, network: { kind: "MLP", hidden, activation, ...(more.network || {}) },
  recipe: { kind: "Recipe", keep: "last", ...recipe }, ...(more.rest || {}),
});
const xor = { name: "xor", points: 400 }, blobs = { name: "blobs", points: 400, noise: 1.5 };
const noisy = { name: "moons", points: 60, noise: 0.35, seed: 3 }, moons = { name: "moons", points: 1000, noise: 0.15 };
const product = { name: "prod", points: 400 };
const images = (/** @type {string} */ name) => ({ kind: "images", name, rows: name === "mnist" ? 10000 : 1500 });
const reading = (/** @type {string} */ name, /** @type {number[]} */ hidden, /** @type {string} */ activation, /** @type {any} */ network = {}) => ({
  data: images(name), network: { kind: "MLP", hidden, activation, ...network },
  recipe: { kind: "Recipe", optimizer: SGD(0.1), batch_size: 100, epochs: 60, keep: "last" }, validation: 0.2,
});

/** @typedef {{title: string, story: string[], tries: [string, any][], question: string, answer: string, tab?: string, beside?: [string, string][]}} Lesson */

/** @param {string[]} here the image sets that are on this machine @returns {Lesson[]} */
export function lessons(here) {
  const digits = here.includes("mnist") ? "mnist" : "digits";
  return [
    {
      title: "The perceptron and XOR",
      story: [
        "A perceptron adds up its inputs, each times a weight, and says yes above 0. So it divides the plane by a straight line: the network without hidden layers.",
        "The exclusive or asks whether two signs differ. Its classes lie in opposite corners, and no line has one of them on each side. Train the perceptron, and then a network with a hidden layer, whose units each draw a line of their own.",
      ],
      tries: [
        ["Perceptron", setup(xor, [], "tanh", { optimizer: SGD(0.1), batch_size: 20, epochs: 300 })],
        ["2 hidden units", setup(xor, [2], "tanh", { optimizer: ADAM(0.02), batch_size: 20, epochs: 600 })],
        ["4 hidden units", setup(xor, [4], "tanh", { optimizer: ADAM(0.02), batch_size: 20, epochs: 600 })],
        ["Perceptron with x1·x2", setup(xor, [], "tanh", { optimizer: SGD(0.5), batch_size: 20, epochs: 300 }, { rest: { terms: ["x1", "x2", "x1*x2"] } })],
      ],
      question: "Why does the perceptron need no hidden layer once it reads the product x1·x2?",
      answer: "The product is below 0 exactly where the signs differ. In the space of the three inputs a plane separates the classes; a hidden layer learns such an input by itself.",
    },
    {
      title: "From tensors to nn.Sequential",
      story: [
        "The same network, 2 inputs, 2 sigmoids and 4 classes, written twice: with nothing but tensors and autograd, and with PyTorch's modules. From equal initial weights both make the same steps.",
        "Train it here, and compare the two programs. The code tab has a third one, which begins with the weights that this page begins with.",
      ],
      tries: [
        ["2 sigmoids, SGD 0.2", setup(blobs, [2], "sigmoid", { optimizer: SGD(0.2), batch_size: 400, epochs: 2000 }, { network: { init: "randn_sqrt_fan_in" } })],
        ["8 sigmoids", setup(blobs, [8], "sigmoid", { optimizer: SGD(0.2), batch_size: 400, epochs: 2000 }, { network: { init: "randn_sqrt_fan_in" } })],
      ],
      question: "Which line of the left program does optimizer.step() replace?",
      answer: "The line p -= 0.2 * p.grad: each parameter moves by the learning rate against its gradient. The line below it, which forgets the gradient, is optimizer.zero_grad().",
      beside: [["Raw tensors", RAW], ["nn.Sequential", SEQUENTIAL]],
    },
    {
      title: "Sigmoid, tanh, ReLU",
      story: [
        "Without an activation, a stack of layers is one linear map. The sigmoid squeezes a sum into the range from 0 to 1, tanh into that from -1 to 1, and ReLU sets what is below 0 to 0.",
        "Look at the small maps of the units: soft steps with the sigmoid and tanh, folds with ReLU. The output is made of them.",
      ],
      tries: [
        ["Sigmoid", setup({ name: "circles", points: 500, noise: 0.08 }, [6], "sigmoid", { optimizer: SGD(0.3), batch_size: 25, epochs: 800 })],
        ["Tanh", setup({ name: "circles", points: 500, noise: 0.08 }, [6], "tanh", { optimizer: SGD(0.3), batch_size: 25, epochs: 800 })],
        ["ReLU", setup({ name: "circles", points: 500, noise: 0.08 }, [6], "relu", { optimizer: SGD(0.3), batch_size: 25, epochs: 800 })],
        ["Identity", setup({ name: "circles", points: 500, noise: 0.08 }, [6], "identity", { optimizer: SGD(0.03), batch_size: 25, epochs: 300 })],
      ],
      question: "Which activation learns most slowly here, and why?",
      answer: "The sigmoid: its slope is at most a quarter, and its outputs are all above 0, so the gradients of the first layer are small. With the identity the network stays linear, and never learns.",
    },
    {
      title: "Batch size and epochs",
      story: [
        "A step uses some of the rows, the batch; an epoch is a pass over all of them. With small batches an epoch has many noisy steps, with large ones few smooth steps.",
        "Compare the curves by epoch. The numbers at the top show how many steps the engine makes in a second.",
      ],
      tries: [
        ["Batches of 1", setup(moons, [8], "tanh", { optimizer: SGD(0.05), batch_size: 1, epochs: 40 })],
        ["Batches of 32", setup(moons, [8], "tanh", { optimizer: SGD(0.05), batch_size: 32, epochs: 200 })],
        ["All 1,000 rows", setup(moons, [8], "tanh", { optimizer: SGD(0.05), batch_size: 1000, epochs: 2000 })],
      ],
      question: "With all rows in a batch, how many epochs does it take to make as many steps as one epoch with batches of 1?",
      answer: "1,000: each epoch is a single step. So the same learning rate looks far slower by epoch, although each step is more exact.",
      tab: "curves",
    },
    {
      title: "Overfitting and dropout",
      story: [
        "Sixty noisy points, and a network with thousands of weights: it can learn every point by heart. The training loss falls to 0 while the validation loss rises.",
        "Dropout switches off units at random in each step, so that no unit relies on particular others. Weight decay keeps the weights small. Both make the border smoother.",
      ],
      tries: [
        ["No regularisation", setup(noisy, [64, 64], "relu", { optimizer: ADAM(0.01), batch_size: 20, epochs: 1500 })],
        ["Dropout 0.5", setup(noisy, [64, 64], "relu", { optimizer: ADAM(0.01), batch_size: 20, epochs: 1500 }, { network: { dropout: 0.5 } })],
        ["L2 penalty", setup(noisy, [64, 64], "relu", { optimizer: ADAM(0.01), batch_size: 20, epochs: 1500, l2: 0.02 })],
        ["4 units", setup(noisy, [4], "relu", { optimizer: ADAM(0.01), batch_size: 20, epochs: 1500 })],
      ],
      question: "Where would you stop the training without regularisation, and which curve shows it?",
      answer: "Where the validation loss is lowest, after some dozens of epochs. Go back there with the slider under the output. Early stopping does so by itself.",
      tab: "curves",
    },
    {
      title: "A learning rate that is too high",
      story: [
        "A step follows the slope of the loss, which holds only nearby. With too small a rate training takes forever; too large a step jumps over the valley, and may leave it for good.",
        "You can change the rate while the network is trained. Begin with 0.3, see the loss jump, and lower it to 0.1.",
      ],
      tries: [
        ["Too small: 0.001", setup(product, [16], "tanh", { optimizer: SGD(0.001), batch_size: 40, epochs: 400 })],
        ["Good: 0.1", setup(product, [16], "tanh", { optimizer: SGD(0.1), batch_size: 40, epochs: 400 })],
        ["Too large: 0.3", setup(product, [16], "tanh", { optimizer: SGD(0.3), batch_size: 40, epochs: 400 })],
        ["Diverges: 1", setup(product, [16], "tanh", { optimizer: SGD(1), batch_size: 40, epochs: 400 })],
      ],
      question: "What do the curves look like when the rate is just a little too large?",
      answer: "The loss falls at first and then jumps up and down without settling. Lower the rate while it runs, and it falls again at once.",
      tab: "curves",
    },
    {
      title: "Poor minima, seen with 64 seeds",
      story: [
        "Two or three hidden units can be enough for the exclusive or, if they start well. Whether they do depends on the seed. One network says little about that; here are 64, trained together.",
        "Show the networks: their maps are sorted by validation loss. Some have found a good solution; others are stuck in a poor minimum, and more training does not help them. Click one to look at it.",
      ],
      tries: [
        ["2 units, 64 seeds", setup(xor, [2], "relu", { optimizer: ADAM(0.02), batch_size: 40, epochs: 400 }, { rest: { networks: { count: 64, vary: "seed" } } })],
        ["3 units, 64 seeds", setup(xor, [3], "relu", { optimizer: ADAM(0.02), batch_size: 40, epochs: 400 }, { rest: { networks: { count: 64, vary: "seed" } } })],
        ["8 units, 64 seeds", setup(xor, [8], "relu", { optimizer: ADAM(0.02), batch_size: 40, epochs: 400 }, { rest: { networks: { count: 64, vary: "seed" } } })],
      ],
      question: "What helps more against poor minima: more epochs or more units?",
      answer: "More units. With 8 of them nearly every seed finds a good solution, because some of the units start in useful positions.",
      tab: "networks",
    },
    {
      title: digits === "mnist" ? "MNIST, from logistic regression to model E" : "Digits, from logistic regression to model E",
      story: [
        "Handwritten digits, in ten classes. Logistic regression reads the pixels directly; models A to C have one hidden layer of 100 units with a sigmoid, tanh or ReLU; D has two, and E three.",
        "Draw a digit yourself under Data, and see what the network says, and how strongly each unit of each layer responds.",
      ],
      tries: [
        ["Logistic regression", reading(digits, [], "relu")],
        ["A: sigmoid", reading(digits, [100], "sigmoid")],
        ["B: tanh", reading(digits, [100], "tanh")],
        ["C: ReLU", reading(digits, [100], "relu")],
        ["D: two layers", reading(digits, [100, 100], "relu")],
        ["E: three layers", reading(digits, [100, 100, 100], "relu", { init: "kaiming_uniform" })],
      ],
      question: "Which digits are confused most often, by logistic regression and by model E?",
      answer: "Open the tab Inside: the confusion matrix shows it. Mostly 4 and 9, 3 and 5, 7 and 9; the hidden layers remove most of these errors, but not all.",
      tab: "inside",
    },
  ];
}

const RAW = `w1 = torch.randn(2, 2) / math.sqrt(2)
b1 = torch.zeros(2)
w2 = torch.randn(2, 4) / math.sqrt(2)
b2 = torch.zeros(4)
parameters = [w1, b1, w2, b2]
for p in parameters:
    p.requires_grad_()

for epoch in range(2000):
    h = 1 / (1 + torch.exp(-(x @ w1 + b1)))
    scores = h @ w2 + b2
    p = scores.exp() / scores.exp().sum(1, keepdim=True)
    loss = -p[torch.arange(len(y)), y].log().mean()
    loss.backward()
    with torch.no_grad():
        for p in parameters:
            p -= 0.2 * p.grad
            p.grad = None`;

const SEQUENTIAL = `network = nn.Sequential(
    nn.Linear(2, 2),
    nn.Sigmoid(),
    nn.Linear(2, 4),
)
optimizer = torch.optim.SGD(network.parameters(), lr=0.2)



for epoch in range(2000):
    scores = network(x)
    loss = nn.functional.cross_entropy(scores, y)

    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


`;
