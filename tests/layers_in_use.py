"""The convolutions of the networks, for the tests of their forms and of their values."""

# kind, height and width, C, O, k, stride, padding: a quarter of the widths in use, but where the
# width decides the form.
IN_USE = [
    ("conv", 32, 1, 8, 5, 2, 2),
    ("conv", 16, 8, 16, 5, 2, 2),
    ("conv", 8, 16, 32, 5, 2, 2),
    ("conv", 4, 32, 64, 5, 2, 2),
    ("conv", 64, 3, 16, 5, 2, 2),
    ("conv", 8, 129, 4, 5, 2, 2),
    ("conv", 32, 16, 1, 5, 1, 2),
    ("conv_transpose", 8, 64, 32, 4, 2, 1),
    ("conv_transpose", 16, 32, 16, 4, 2, 1),
    ("conv_doubled", 4, 8, 8, 3, 1, 1),
    ("conv_doubled", 16, 4, 2, 3, 1, 1),
]
