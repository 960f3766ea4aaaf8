"""The words of the demonstration's made-up company: its folders, workbooks, charts and people. Data only."""

from __future__ import annotations

from typing import NamedTuple

COMPANY = "Acme"
MAIL_DOMAIN = "acme.example"


class Department(NamedTuple):
    """One department: its workbooks by sub-folder, and the measures that its charts show."""

    name: str
    workbooks: dict[str, tuple[str, ...]]
    measures: tuple[str, ...]


DEPARTMENTS = (
    Department(
        "Sales",
        {
            "Pipeline": (
                "Pipeline Review",
                "Pipeline Review (copy)",
                "Forecast, Current Quarter",
                "Win-Loss Analysis",
                "Territory Planning",
            ),
            "Accounts": ("Account 360", "Top 100 Accounts", "Renewal Tracker", "Quota Attainment"),
        },
        ("Bookings", "Open pipeline", "Win rate", "Average deal size", "Sales cycle"),
    ),
    Department(
        "Finance",
        {
            "Reporting": ("Monthly Close", "P&L Overview", "Budget vs. Actuals", "Cash Flow"),
            "Spend": ("Vendor Spend", "Travel and Expenses", "Cloud Costs", "Headcount Cost Model"),
        },
        ("Revenue", "Gross margin", "Operating expense", "Cash balance", "Variance to budget"),
    ),
    Department(
        "Marketing",
        {
            "Campaigns": ("Campaign Performance", "Email Engagement", "Event ROI", 'The "Big Launch" Dashboard'),
            "Web": ("Web Traffic", "SEO Keywords", "Lead Funnel"),
        },
        ("Leads", "Cost per lead", "Sessions", "Conversion rate", "Spend"),
    ),
    Department(
        "Product",
        {
            "Usage": ("Feature Adoption", "Daily Active Users", "Onboarding Funnel", "Retention Cohorts"),
            "Quality": ("Release Health", "Bug Backlog", "Experiment Results"),
        },
        ("Active users", "Adoption", "Retention", "Crash rate", "Open bugs"),
    ),
    Department(
        "Customer Success",
        {
            "Support": ("Ticket Volume", "First Response Time", "Support SLA", "CSAT and NPS"),
            "Health": ("Customer Health Score", "Churn Risk", "QBR Template"),
        },
        ("Tickets", "Response time", "CSAT", "Health score", "Churned ARR"),
    ),
    Department(
        "Operations",
        {
            "Supply Chain": ("Inventory Levels", "Supplier Scorecard", "Order Fulfilment", "Stock-outs"),
            "Logistics": ("Shipping Costs", "Delivery Times", "Warehouse Utilisation"),
        },
        ("Orders", "Units on hand", "Lead time", "On-time share", "Freight cost"),
    ),
    Department(
        "People",
        {
            "Hiring": ("Recruiting Funnel", "Open Positions", "Offer Acceptance"),
            "Workforce": ("Headcount", "Attrition", "Engagement Survey – 2026"),
        },
        ("Headcount", "Applicants", "Attrition", "Time to hire", "eNPS"),
    ),
    Department(
        "Data Platform",
        {
            "Monitoring": (
                "Warehouse Credits",
                "Pipeline Freshness",
                "Data Quality Incidents",
                "Query Performance",
            ),
            "Sandbox": ("Scratch – do not use", "Migration Checks", "New Workbook"),
        },
        ("Credits", "Failed loads", "Row count", "Query time", "Incidents"),
    ),
    Department(
        "Executive",
        {"Board": ("Company KPIs", "Board Deck", "Weekly Business Review", "OKR Tracker")},
        ("ARR", "Net revenue retention", "Burn", "Customers", "Runway"),
    ),
)

COPIES = {"Pipeline Review (copy)": "Pipeline Review"}
"""A workbook and the one it was copied from: a copy keeps its element IDs, which are unique only within one."""

PAGES = {
    "Overview": ("{measure}", "{measure} by month", "{measure} by region"),
    "Breakdown": ("{measure} by segment", "{measure} by owner"),
    "Trends": ("{measure} year over year", "{measure}, trailing 12 months"),
    "Data": ("{measure} detail",),
}
"""The elements that a workbook may have, by the page that they are on."""

FIRST_NAMES = (
    "Aaliyah", "Adam", "Aisha", "Alejandro", "Amara", "Amelia", "Ana", "Andre", "Anika", "Anna",
    "Arjun", "Ben", "Bianca", "Carlos", "Carmen", "Chen", "Chloe", "Daniel", "Daria", "David", "Diego",
    "Elena", "Elias", "Emma", "Eric", "Fatima", "Felix", "Fiona", "Gabriel", "Grace", "Hana", "Hannah",
    "Hiro", "Ida", "Ines", "Isaac", "Ivan", "Jamal", "James", "Jana", "Jonas", "Julia", "Kai", "Karim",
    "Kate", "Kenji", "Laila", "Lara", "Leo", "Lin", "Louis", "Lucia", "Maja", "Malik", "Marco", "Maria",
    "Mei", "Mia", "Milan", "Mohammed", "Nadia", "Nia", "Nina", "Noah", "Nora", "Oliver", "Olga", "Omar",
    "Oscar", "Pablo", "Paula", "Petra", "Priya", "Rafael", "Ravi", "Rosa", "Samuel", "Sara", "Sofia",
    "Stefan", "Tara", "Theo", "Thomas", "Tomas", "Uma", "Vera", "Victor", "Wei", "Yara", "Yusuf", "Zoe",
)  # fmt: skip

LAST_NAMES = (
    "Adeyemi", "Ahmed", "Almeida", "Andersson", "Baker", "Bauer", "Becker", "Bianchi", "Brown",
    "Carter", "Castillo", "Chen", "Clarke", "Cohen", "Costa", "Cruz", "Davies", "Diaz", "Dubois",
    "Eriksen", "Evans", "Fernandez", "Fischer", "Fontaine", "Foster", "Garcia", "Ghosh", "Gomez",
    "Green", "Gupta", "Haddad", "Hall", "Hansen", "Hernandez", "Hoffmann", "Hughes", "Ibrahim", "Ito",
    "Ivanova", "Jackson", "Jansen", "Johnson", "Jones", "Kaya", "Keller", "Khan", "Kim", "Klein",
    "Kowalski", "Kumar", "Lange", "Larsen", "Lee", "Lewis", "Lopez", "Martin", "Martinez", "Meyer",
    "Miller", "Moreau", "Morgan", "Muller", "Murphy", "Nakamura", "Nguyen", "Novak", "O'Brien",
    "Okafor", "Olsen", "Ortiz", "Patel", "Pereira", "Petrov", "Reyes", "Ricci", "Roberts", "Rossi",
    "Santos", "Sato", "Schmidt", "Silva", "Singh", "Smith", "Suzuki", "Takahashi", "Taylor", "Torres",
    "Tran", "Wagner", "Walker", "Wang", "Weber", "Williams", "Wilson", "Wong", "Wright", "Yang",
    "Yilmaz", "Young", "Zhang", "Zimmermann",
)  # fmt: skip
