def render(study, facts):
    return ""
