"""HTTP: routes, their contract and the one table of errors. May import everything in `serving`."""
