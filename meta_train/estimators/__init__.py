"""Estimators of meta-gradients behind one contract, `estimators.contracts.Estimator`."""
