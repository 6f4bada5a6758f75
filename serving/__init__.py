"""The service: HTTP in front of one engine per base model."""

import os

# Before anything of BentoML is imported: nothing about this machine is reported to anybody.
os.environ["BENTOML_DO_NOT_TRACK"] = "True"
