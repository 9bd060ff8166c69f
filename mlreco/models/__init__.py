"""Networks: stages, the chain that joins them, their losses and weights."""
