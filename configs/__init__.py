"""Run configurations: one file a model, over the defaults of base.py."""
