# memcheck.pl - finds the extension's errors in what valgrind has logged
#
#     perl memcheck.pl LOG...
#
# The server was not built for valgrind, so much of what is said about it
# means nothing.  An error is the extension's if it comes from its own code,
# or from a function of the C library that it called; or if a value without a
# content, wherever it was used, comes from its stack, or from memory that it
# has allocated.  Prints these and fails if there are any.
use strict;
use warnings;

# frames between an error and whose it is; the C library's sources have
# relative names
my $library = qr{\(in [^)]*/(?:vgpreload_|libc|libm|ld-linux)[^/)]*\)|\((?!in )[^/]};
my $allocator = qr/: (?:palloc\w*|repalloc\w*|MemoryContext\w+|AllocSet\w+|malloc|calloc|realloc|pstrdup|pnstrdup|makeStringInfo|initStringInfo|enlargeStringInfo)\b/;
my $ours = qr{/src/(?:api|base|durable|lease|shared|worker)/\w+\.[ch]:\d+|/src/dlock\.c:\d+|/dlock\.so\b};

# is_ours(FRAMES): the innermost frame that is not a helper's is the extension's.
sub is_ours
{
	foreach my $frame (@_)
	{
		next if $frame =~ $library || $frame =~ $allocator;
		return $frame =~ $ours;
	}
	return 0;
}

# stacks(ERROR) gives the stacks of an error as lists of frames: where it
# happened, and where the value or the memory comes from.
sub stacks
{
	my ($error) = @_;
	my @stacks;

	foreach (split /\n/, $error)
	{
		push @stacks, [] if /\bat 0x/ || !@stacks;
		push @{ $stacks[-1] }, $_ if /\b(?:at|by) 0x/;
	}
	return @stacks;
}

die "usage: memcheck.pl LOG...\n" if !@ARGV;
my ($seen, %found);
foreach my $log (@ARGV)
{
	open my $file, '<', $log or die "$log: $!\n";
	my $text = do { local $/; <$file> } // '';
	close $file;
	while ($text =~ /^==\d+== BEGIN\n(.*?)^==\d+== END$/msg)
	{
		my $error = $1;

		$seen++;
		$error =~ s/^==\d+== ?//mg;
		$found{ $error =~ s/0x[0-9A-F]+/0x/gr } //= $error
		  if grep { is_ours(@$_) } stacks($error);
	}
}
print values %found;
printf "memcheck: %d processes, %d reports, %d kinds of them the extension's\n",
  scalar @ARGV, $seen // 0, scalar keys %found;
exit(%found ? 1 : 0);
