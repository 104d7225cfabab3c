"""One equation of one paper in each function: pure functions of tensors."""
