"""What synthesis fixes: profiles, and the models of cycles and resources."""
