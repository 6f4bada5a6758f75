"""Episome: one DNA language model, one small adapter per species."""

__version__ = "0.1.0"
