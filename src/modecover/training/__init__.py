"""Training: the engine, stacked seeds, processes, checkpoints, the loop, run folders, model files."""
