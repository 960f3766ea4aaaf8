-- No two rows agree in all of these columns; nulls agree with each other.
{% test unique_together(model, columns) %}

    SELECT
        {{ columns | join(', ') }},
        count(*) AS times
    FROM {{ model }}
    GROUP BY {{ columns | join(', ') }}
    HAVING count(*) > 1

{% endtest %}
