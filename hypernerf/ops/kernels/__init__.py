"""Triton kernels, and the parts they share. Importing a module of this package imports Triton; nothing else does."""
