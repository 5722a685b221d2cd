"""A trained model for people without this package: programs, parameters, a card and a reader."""
