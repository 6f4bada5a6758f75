"""The stages: `python -m pipelines.<stage> <species>`, each reading params and files and writing files."""
