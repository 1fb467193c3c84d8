"""Real servers on a laptop: started, watched and stopped as plain processes. Imports `infra` and `schemas`."""
