"""Fair comparison of rules: equal tuning of everyone on every task, fresh seeds for the final measurement, one table."""
