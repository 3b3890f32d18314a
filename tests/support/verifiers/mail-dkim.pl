# Verifies messages with Mail::DKIM: one JSON answer a line, for each framed message on standard input.
# Usage: mail-dkim.pl PORT, the port on 127.0.0.1 of the name server to ask. A frame is a 32-bit length and that many bytes.
use strict;
use warnings;
use JSON::PP;
use Mail::DKIM::DNS;
use Mail::DKIM::Verifier;
use Net::DNS::Resolver;

my $resolver = Net::DNS::Resolver->new(
    nameservers => ['127.0.0.1'], port => $ARGV[0], recurse => 0,
    udp_timeout => 5, tcp_timeout => 5, retry => 1, searchlist => [], udppacketsize => 1232,
);
Mail::DKIM::DNS::resolver($resolver);

binmode STDIN;
$| = 1;
my $json = JSON::PP->new->canonical->utf8;

while (read(STDIN, my $head, 4) == 4) {
    read(STDIN, my $message, unpack('N', $head));
    my $verifier = Mail::DKIM::Verifier->new;
    $verifier->PRINT($message);
    $verifier->CLOSE;
    my @answers = map {
        {
            domain    => $_->domain // '',
            selector  => $_->selector // '',
            algorithm => $_->algorithm // '',
            passed    => $_->result eq 'pass' ? JSON::PP::true : JSON::PP::false,
            detail    => $_->result_detail // '',
        }
    } $verifier->signatures;
    print $json->encode(\@answers), "\n";
}
