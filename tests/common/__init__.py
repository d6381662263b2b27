"""What several test files share: small machines, stories, and looks at the host."""
