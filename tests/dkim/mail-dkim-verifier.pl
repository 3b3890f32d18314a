# Verifies DKIM signatures with Mail::DKIM, one message after another.
#
# First a line of JSON on stdin: {"name.": "TXT text", ...}. Then frames: 4 octets of length, big-endian, and the message.
# For each frame one line of JSON on stdout: the verdict of each signature, top to bottom: "pass" or the verifier's words.
use strict;
use warnings;
use JSON::PP;
use Net::DNS;
use Mail::DKIM::DNS;
use Mail::DKIM::Verifier;

binmode STDIN;
$| = 1;
my $records = decode_json(scalar <STDIN>);

package Lookup {
    sub new { return bless {}, shift }
    sub errorstring { return 'NOERROR' }
    sub send {
        my ( $self, $name, $type ) = @_;
        my $packet = Net::DNS::Packet->new( $name, $type );
        my $text = $records->{ "$name." };
        if ( defined $text ) {
            my @strings = unpack '(a255)*', $text;
            $packet->push( answer => Net::DNS::RR->new( owner => $name, type => 'TXT', ttl => 60, txtdata => \@strings ) );
        }
        $packet->header->rcode( defined $text ? 'NOERROR' : 'NXDOMAIN' );
        return $packet;
    }
}

Mail::DKIM::DNS::resolver( Lookup->new );

while ( read( STDIN, my $start, 4 ) == 4 ) {
    my $length = unpack 'N', $start;
    my $message = '';
    read( STDIN, $message, $length ) if $length > 0;
    my @verdicts;
    eval {
        my $verifier = Mail::DKIM::Verifier->new;
        $verifier->PRINT($message);
        $verifier->CLOSE;
        @verdicts = map { $_->result eq 'pass' ? 'pass' : $_->result_detail } $verifier->signatures;
        1;
    } or @verdicts = ("error: $@");
    print encode_json( \@verdicts ), "\n";
}
