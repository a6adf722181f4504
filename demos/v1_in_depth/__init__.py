"""What only sparse coding explains of V1, each result with its control (``python -m demos.v1_in_depth``)."""
