# DlockCount - formatter for prove and pg_prove that counts assertions.
#
# Writes "passed failed" to the file that DLOCK_COUNTS names.  A skipped
# assertion counts as neither; a script that dies or breaks its plan without
# a failed assertion counts as one failure.
package DlockCount;

use strict;
use warnings;

use parent 'TAP::Formatter::File';

sub summary
{
	my ($self, $aggregate, $interrupted) = @_;
	my ($passed, $failed) = (0, 0);

	$self->SUPER::summary($aggregate, $interrupted);
	foreach my $name ($aggregate->descriptions)
	{
		my ($parser) = $aggregate->parsers($name);

		$passed += $parser->passed - $parser->skipped;
		$failed += $parser->failed || ($parser->has_problems ? 1 : 0);
		$self->_output("not passed: $name\n") if $parser->has_problems;
		$self->_output("skipped in $name: " . $parser->skipped . "\n")
		  if $parser->skipped;
		$self->_output("skipped $name: " . $parser->skip_all . "\n")
		  if $parser->skip_all;
	}
	$failed ||= 1 if $interrupted;

	open my $counts, '>', $ENV{DLOCK_COUNTS} or die "$ENV{DLOCK_COUNTS}: $!";
	print $counts "$passed $failed\n";
	close $counts or die "$ENV{DLOCK_COUNTS}: $!";
	return;
}

1;
