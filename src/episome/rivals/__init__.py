"""The models that every table of a transfer study shows beside the adapter; `episome.rivals.roster` fits them all."""
