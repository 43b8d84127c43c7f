"""Width scaling of learned optimizers and of rules, checked: the tables are `search_space.parametrisation`, the check is here."""
