"""Networks: activations, initial weights, the flat layout of parameters, populations of K networks, and plain torch modules."""
