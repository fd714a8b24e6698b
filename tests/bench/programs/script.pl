# script.pl: Perl at work: lines, regular expressions, hashes, sorting, numbers.

use strict;
use warnings;

my (%words, %lengths, $sum);
open(my $file, '<', '/data/text') or die "/data/text: $!";
while (my $line = <$file>) {
    $sum += hex($1) while $line =~ /\b0x([0-9a-f]+)\b/g;
    foreach my $word (split ' ', $line) {
        $words{$word}++;
        push @{ $lengths{ length $word } }, $word if $word =~ /^[a-m].*e$/;
    }
    $line =~ tr/a-z/A-Z/;
    $sum += length($line) if $line =~ s/STORE (\w+)/$1 STORED/;
}
foreach my $word ((sort { $words{$b} <=> $words{$a} || $a cmp $b } keys %words)[0 .. 19]) {
    printf "%-12s %d\n", $word, $words{$word};
}
print join(' ', map { "$_:" . scalar @{ $lengths{$_} } } sort keys %lengths), " $sum\n";
my $x = 1;
for my $i (1 .. 300_000) {
    $x = ($x * 16807 + $i) % 2147483647;
}
print "$x\n";
