"""Training of the neural session models, in torch; what comes out is a `domain.recommenders.neural.NeuralSessionModel`.

`contract` imports no torch; `train` does within seconds, so import it inside the function that trains.
"""
