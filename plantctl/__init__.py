"""plantctl: the deployment checklist of the Plant platform on Google Cloud, as a command line."""

__version__ = "0.1.0"
