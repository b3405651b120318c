"""C kernels, compiled for this very machine when they are first needed."""
