"""The comparisons of the paper, by name: planet experiment."""
