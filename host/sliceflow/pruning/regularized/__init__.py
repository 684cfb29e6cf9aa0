"""Methods that let weights decay and then apply a threshold: SeReNe, LOBSTER, plain weight decay."""
