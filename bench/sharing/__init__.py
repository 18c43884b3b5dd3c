"""Results for others: a store as a dataset for the Hugging Face Hub and back, and several stores in one."""
