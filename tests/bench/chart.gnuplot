# chart.gnuplot BARS SVG: a horizontal bar for each line of BARS (see report.py).
bars = ARG1
stats bars using 4 nooutput

set terminal svg size 860,420 font "sans-serif,13" background "white"
set output ARG2
set datafile separator "\t"
set title "Seconds to compose client.zip: median, least, most"
set lmargin 34
set border 1
set grid xtics lc rgb "#dddddd"
set xtics nomirror format "%g"
set ytics nomirror scale 0
# The longest bar and the number behind it.
set xrange [0:STATS_max * 1.15]
set yrange [STATS_records - 0.4:-0.6]
unset key

plot bars using 2:0:(0):2:($0 - 0.36):($0 + 0.36):5:ytic(1) with boxxyerror \
         fillstyle solid noborder linecolor rgb variable, \
     bars using 2:0:3:4 with xerrorbars pointtype 0 linewidth 1.5 linecolor rgb "#222222", \
     bars using 4:0:6 with labels left offset 0.7,0 font ",12"
