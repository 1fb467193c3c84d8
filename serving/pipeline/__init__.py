"""The path of one query, a file a stage. Imports `domain` and `schemas`; knows neither HTTP nor stores."""
