"""Many different networks trained together: candidates x folds (`many`), scikit-learn's searches (`cv`), sweeps (`sweep`)."""
