"""Many different networks trained together: `train_many` (`candidates`) and scikit-learn's searches (`cv`)."""
