select :n::integer;
