DROP TABLE rehearsal;

ALTER TABLE wallet DROP COLUMN rehearsal;
