"""Task families, one file for each sort of problem."""
