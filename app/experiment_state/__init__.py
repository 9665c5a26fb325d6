"""The experiment and the shadow version that run at the moment, as each process knows them."""
