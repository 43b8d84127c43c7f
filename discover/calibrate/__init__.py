"""Do cheap tasks rank optimizers like expensive ones? The same rules on micro, small and medium versions of a family, correlated."""
