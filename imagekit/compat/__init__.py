"""From what is asked to what is chosen: facts, rules, and the decision between them."""
