"""Convolutions in forms that suit the machine."""
