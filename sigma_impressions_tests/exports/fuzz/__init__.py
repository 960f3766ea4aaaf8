"""Fuzzing of the normalization: `python -m sigma_impressions_tests.exports.fuzz`, by hand or by `make fuzz`."""
