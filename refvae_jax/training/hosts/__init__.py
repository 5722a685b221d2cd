"""Several hosts: how the processes of a run find each other, stay in touch and end together."""
